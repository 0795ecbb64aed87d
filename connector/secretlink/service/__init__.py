"""The link service: it keeps sealed passwords and shows each one as often as it may be shown.

web         The application and its process; puts the rest together.
pages       What people open: pages, their languages, and the proofs that a person acts.
api         What the connector calls: keys, bodies, answers, the OpenAPI document.
webhooks    Tells a receiver of others that there is something new.
caretaker   Ends links on time, forgets old ones, checks the chain of events.
store       The database: links, alarms, events; every rule about how often a password is shown.

Imports go down this list, but pages, webhooks and caretaker know nothing of each other.
"""
