"""Webhooks: what clients want to be told of their tasks while they do not listen.

A client names a *webhook* in a *configuration*, beside a message or for a task. With ``pass`` the agent gets that as it
is, once the webhook was looked at, and calls it itself. With ``relay`` the agent is given an address of the gateway's
instead. It ends in a sealed token that says whose webhook is meant, so that any worker can take what the agent tells,
also before the answer that names the task is there. What is told is put into the client's version and *delivered*: in
order for each webhook, again where that can help, and else it becomes a *dead letter*.
"""
