"""Films, folders of pictures and live cameras as footage to be annotated."""
