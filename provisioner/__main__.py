"""``python -m provisioner``: the same as ``kubelab``."""

from provisioner.entry import main

if __name__ == "__main__":
    main()
