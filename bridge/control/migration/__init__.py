"""Moving a running container to another node: two bridges, and one register that decides.

`source` and `target` say what each end does next, without doing it; `departure` and `arrival` do it. Whoever comes back after a
crash begins with what the register and containerd say, on the same way as everybody (docs/decisions/0031).
"""
