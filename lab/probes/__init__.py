"""The probes: one topic a module, and nothing else in here.

``lab.probing`` has what a probe is made of (the decorator, the rig, the watchers), the catalogue that finds these
modules, and what runs and shows them. docs/adding-a-probe.md tells how to write one.
"""
