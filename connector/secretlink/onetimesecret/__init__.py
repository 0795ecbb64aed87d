"""OneTimeSecret as link service: `links.kind: onetimesecret`.

Words of theirs: a **secret** is a link; its **identifier** opens it; its **receipt** tells its maker what became of
it, lives twice as long, and leads to the secret while that is alive. So neither is ever kept: the case remembers a
digest of the receipt's identifier, by which the receipt is found again in the account's list.

One view, no address and no browser of whoever opened it, but a lifetime to the second and a page that wants a POST.
The account's owner has no other way to look: it uses the view as anybody's does (`reveal_secret.rb`), and a receipt
shows no secret that was concealed (`show_receipt.rb`).

Sources: github.com/onetimesecret/onetimesecret (`apps/api/v2`, `apps/api/v1`, its COMPAT.md) at 0.26; the client
`onetimesecret` 1; all read 2026-11-22. UNVERIFIED against a running server: the exact answers, so whatever differs from
them stops here, with the secret burned.
"""
