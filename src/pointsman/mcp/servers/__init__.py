"""Servers of either era behind one interface: what differs between the eras on the side of the servers is here."""
