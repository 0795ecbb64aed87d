"""The words of this project. The same thing has the same word everywhere.

ticket      Theirs: a request in the PSA. The PSA is the truth about the request and its approval.
case        Ours: how far we are with one ticket. One case per ticket.
action      What is to be reset: `password`, `mfa` or `both`.
subject     The account to be reset, as the ticket names it (an address) or as Entra knows it (an object id).
requester   The person who raised the ticket. Gets the mails and the link.
approver    The person who decided in the PSA's own approval.
client      The customer as the PSA knows it.
tenant      The same customer as Entra knows it; named in `connector.yaml`.
link        A one-time link at the link service. It has *views* and a *lifetime*. A *reveal* shows the password and
            uses a view.
note        What we write into a ticket; private unless said otherwise. Carries a *marker* by which it is found again.
hand-off    A person must take over; the note says why and what to do.
pass        One look at one case: what is true now, which single step is next, do it, write it down.
step        What `plan.next_step` decided.
message     A note, a status change or a mail without a secret, waiting in the *outbox*.
guard       The rules that protect people. A *verdict* allows or names the reason for a hand-off.
brake       Refuses a surprising number of resets.

Nothing in this package does I/O or imports anything but the standard library. Time is a parameter.
"""
