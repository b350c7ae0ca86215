"""What tests of services need: sample payments."""
