"""One-time links: the sealed format, the link service, and the adapters that talk to link services.

token       24 random bytes that the connector makes and puts into the link's address. Whoever has it can open the link;
            nobody stores it.
lookup      A proof of the token, from which the token cannot be worked out. The link service finds a link by it.
sealed      The password, encrypted under a key made from the token. The link service gets this, never the token.
pepper      A secret of the link service, kept outside its database. A stolen database is worthless without it.
terms       Link id, number of views, time of expiry: bound into both encryptions, so that nobody can stretch them.
view        One showing of the password. Opening the page is not a view.
nonce       A random word that the page makes for one reveal, so that a retry of the same click is not a second view.
tombstone   What stays of a link that has ended: when and why, never the password.

`service` is the link service: a program of its own, on a machine of its own if you like. Everything beside it is the
connector's: `client` talks to our service, `passwordpusher` and `onetimesecret` to those of others. The two share the
sealed format (`seal`), places of addresses (`place`) and names of browsers (`agent`), and nothing else: the connector
never imports the service, and the service never the connector's side.
"""
