"""The OCI spec of a new container: containerd's own default, then the image, then the options of the command.

    default   what containerd's client begins with
    image     what an image's configuration makes of it
    options   what the command asks for
    users     who the process is, from the image's /etc/passwd and /etc/group
    whole     a spec that the command brings itself

Pure functions on dicts as they stand in JSON; names and defaults are those of containerd (containerd, pkg/oci).
"""
