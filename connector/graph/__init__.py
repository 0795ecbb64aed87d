"""Microsoft Graph: the customers' Entra tenants as the port `Directory`.

`signin` gets tokens, `client` makes calls and reads refusals, `directory` collects what the guard must know,
`reset` writes, `facade` puts them together. Microsoft's words stay in this package.
"""

from connector.graph.facade import GraphDirectory

__all__ = ["GraphDirectory"]
