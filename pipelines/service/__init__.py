"""The service: curated outputs and jobs over HTTP, for people and programs.

`settings` configures a server; `database`, `api_keys` and `jobs.queue` are its state; `middleware`
and `auth` guard every route; `jobs` turns requests into commands, estimates and runs them; `routes`
holds the HTTP API and the web page.
"""
