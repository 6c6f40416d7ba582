"""The console: a page that shows people what a service does, and the feed of it.

Takes answers to questions about a service (`jina.observe.observation`), gives the page, a stream of the state that is
computed from them once a second while somebody looks, logs, and the actions of `jina raft`. Never asks a process
itself, and is imported by no process before its console is asked for.
"""
