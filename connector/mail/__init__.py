"""Mails to people: put into words (`render`), handed to a mail server (`smtp`), written out to look at (`preview`)."""
