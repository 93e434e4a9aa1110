"""The Huffman tables that JPEGs of webcams and cameras leave out, as AVI's MJPEG does."""

from __future__ import annotations

DHT_MARKER = 0xC4

# The tables of ITU-T T.81, annex K.3, which such pictures are coded with: DC and AC for luminance, then for
# chrominance; each as class and id, number of codes of each length 1..16, values.
_TABLES = (
    ("00", "00010501010101010100000000000000", "000102030405060708090a0b"),
    (
        "10",
        "0002010303020403050504040000017d",
        "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a"
        "3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a929394"
        "95969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8"
        "e9eaf1f2f3f4f5f6f7f8f9fa",
    ),
    ("01", "00030101010101010101010000000000", "000102030405060708090a0b"),
    (
        "11",
        "00020102040403040705040400010277",
        "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728"
        "292a35363738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a92"
        "939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7"
        "e8e9eaf2f3f4f5f6f7f8f9fa",
    ),
)
_PAYLOAD = bytes.fromhex("".join(part for table in _TABLES for part in table))
STANDARD_TABLES = bytes((0xFF, DHT_MARKER)) + (len(_PAYLOAD) + 2).to_bytes(2, "big") + _PAYLOAD
"""One DHT segment, marker and length included."""
