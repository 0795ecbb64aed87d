"""The link service's database. `vault` is the way in; every call there is one transaction."""
