"""What real servers sent, kept byte for byte so that tests need no server to see it again; and files of earlier versions."""
