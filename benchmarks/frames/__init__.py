"""What `smbdirect-frametest` is made of: frame sizes, the order and pace of frames, the places they go to, figures."""
