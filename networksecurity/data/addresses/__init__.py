"""Addresses (URLs) as rows: what counts as one, the check of rows, the made-up sample, and numbers for models."""

from networksecurity.data.addresses.address import (
    MAX_LENGTH,
    Address,
    is_hosting_suffix,
    lookalike_letters,
    parse_address,
    parse_addresses,
)

__all__ = ["MAX_LENGTH", "Address", "is_hosting_suffix", "lookalike_letters", "parse_address", "parse_addresses"]
