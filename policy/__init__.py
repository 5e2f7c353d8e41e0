"""The policy pack: what a pull request may not do to the stack."""
