"""Make images from Debian's packages: fetch, unpack into a layer, compile the standard library, and build musl's."""
