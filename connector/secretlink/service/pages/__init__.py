"""The link service's pages for people: links, alarms, and what becomes of whom nobody knows."""
