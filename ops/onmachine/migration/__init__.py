"""What a move does on the PostgreSQL machine, through PostgreSQL's own client programs."""
