"""The sendgrid connector."""
