"""Vendors that are more than an address: each module or package is one, and none knows another."""
