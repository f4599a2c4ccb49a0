"""S2, the compression of snapshots: streams of blocks with checksums. No I/O."""
