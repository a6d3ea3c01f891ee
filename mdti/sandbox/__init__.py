"""A local stand-in for the cloud: real HTTP on loopback, invented data, no account needed.

`host.Sandbox` is the door. `wire` says what a vendor is, `faults` what can go wrong on demand,
`world` holds the facts and `story` tells the invented world in plain words. Nothing here imports
the rest of the package, so client and sandbox share no code and no misreading by code.
"""
