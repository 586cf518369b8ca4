"""What happens in a cluster: objects applied, rolled out, looked at, taken away.

- Every object carries the label `shoal.io/deployment: NAME`; objects without it, or of another
  name, are never changed.
- One field manager, `shoal`: what another manager owns is a conflict that is named, never taken.
"""
