"""The CNI plugins. What an executable imports comes from the interpreter's C modules: start-up is what they cost."""
