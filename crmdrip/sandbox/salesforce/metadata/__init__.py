"""The Metadata API: an archive is unpacked, checked as the vendor checks it, and becomes objects, fields and rules."""
