"""Stand-ins for official provider plugins on machines that can neither find nor download them.

They follow the official plugins' behaviour, and refuse what they do not provide.
"""
