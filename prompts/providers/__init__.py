"""Who writes requests: chat models by name (`chat`), how they are asked (`asking`, call by call; `batch`), and what
keeps answers, pace and costs. The grammar of the provider `offline` lies one level up, and is asked like the others."""
