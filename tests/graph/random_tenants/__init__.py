"""Random customers' tenants, a Graph that shows them, and an oracle that says which accounts may be written.

Nothing in here knows the connector or the sandbox: a misunderstanding that all of them shared would pass unseen.

`model`: what is true in a tenant. `graph`: what Graph tells about it, trouble included, and what it was told to write.
`oracle`: the table "who can reset passwords" and the product's rules, once more and in other words. `scenes`: an
ordinary request for an ordinary account, and everything that may be odd about either.
"""
