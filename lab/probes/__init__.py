"""The probes: each module here is a topic, and each package a topic in several modules. Nothing else is in here.

``lab.probing`` has what a probe is made of (the decorator, the rig, the watchers), the catalogue that finds these
modules, and what runs and shows them. docs/adding-a-probe.md tells how to write one.
"""
