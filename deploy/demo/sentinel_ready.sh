# A sentinel can vote in a failover once it has met both replicas and both other sentinels; before, it is no use.
redis-cli -p 26379 --raw sentinel master messenger | tr '\n' ' ' | grep -q 'num-slaves 2 num-other-sentinels 2'
