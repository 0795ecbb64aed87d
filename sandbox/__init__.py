"""An imitation world to try the connector in: HaloPSA, Microsoft Graph with its token endpoint, and a mail sink.

It is a second reading of the vendors' documents and shares no code with the connector, so that one
misunderstanding cannot pass on both sides. It listens on loopback only, keeps everything in memory, marks
every answer with `X-Sandbox: 1`, and is unkind on purpose unless told to be gentle. `sandbox/README.md`
lists each behaviour with its source, and what is not imitated.
"""
