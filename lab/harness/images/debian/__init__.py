"""Images that are made here out of Debian's packages: fetched, unpacked into a layer, compiled, and with musl built."""
