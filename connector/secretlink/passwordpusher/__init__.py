"""Password Pusher as link service: `links.kind: passwordpusher`.

Words of theirs: a **push** is a link; its **url token** is the last part of its address, and opens it; its **audit** is
the list of what happened to it; it **expires** by time, by views, or because somebody deletes it.

Self-hosted (OSS) counts lifetimes in days, so the connector ends a push in time by itself: `adapter.PasswordPusher`
deletes every push of ours whose end has come whenever it is asked for news. The end stands in the push's note, which
only the account's owner can read, so it is found again after a restart, or after a crash between two steps. So a push
without its note would be nobody's: API v2 shows it in the answer to a creation (`_push.json.jbuilder`), where it is
compared; of the hosted service it is where it is shown; version 1 does not show it (`to_json` without `owner` in
`Api::V1::PushesController#create`).

Sources: github.com/pglombardo/PasswordPusher (`app/controllers/api`, `app/models/push.rb`, `app/views/pushes`) at 2.11;
docs.pwpush.com; the clients `pwpush` 0.16.7 and `pwpush-mcp` 0.5.0; all read 2026-11-22. UNVERIFIED: the hosted
service's own fields, beyond what two independent clients agree on.
"""
