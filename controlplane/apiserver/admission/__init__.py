"""What may be asked, and what is added to it: one file per plug-in, named as upstream names them."""
