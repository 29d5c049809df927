"""The modules that know bcc, BTF, tracefs and capabilities. Nothing of the screen imports from here."""
