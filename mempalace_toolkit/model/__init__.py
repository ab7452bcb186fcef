"""The embedding model on this machine: present, fetched, built."""
