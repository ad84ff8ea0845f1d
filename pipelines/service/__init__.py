"""The service: curated outputs and jobs over HTTP, for people and programs.

`settings` says what a server may do; `database`, `tokens`, `queue` are what it remembers; `order`
and `plan` turn a request into a command and its cost; `runner`, `local`, `on_ray` and `supervisor`
run it; `guard` and `access` stand before every route; the rest are the routes.
"""
