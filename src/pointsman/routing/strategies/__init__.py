"""Ways to share a group's traffic among its deployments, one file each.

A strategy is a function of the deployments that can be called now, the time and a source of chance (uniform in
[0, 1)); it names one of them. It is asked again for each further attempt, with those that are left.
"""
