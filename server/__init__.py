"""The SMB3 command core: sees `transport`'s interface and `smbdirect.wire`, never the fabric a client came by."""
