"""Methods of others, written anew from their publications."""
