"""What each command takes, and says of itself. One module for a family of commands; none loads what runs them."""
