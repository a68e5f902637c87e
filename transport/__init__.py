"""Whole SMB2 messages over TCP, iWARP, InfiniBand and RoCE behind one interface (`transport.base`)."""
