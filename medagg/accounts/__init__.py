"""Accounts: signing up and in, addresses and their confirmation, export and deletion of an account.

In come the forms of users; out go rows of users and tasks that send mail. May call the services of
all apps. ``User.email`` holds confirmed addresses only (those that an operator enters count as
such); one that waits to be confirmed is a ``WaitingAddress``.
"""
