"""Resource usage on a host with cgroup v1. Memory in bytes.

Generated from containerd/cgroups_v1.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/cgroups_v1.proto
    b'\n\x1bcontainerd/cgroups_v1.proto\x12\x18io.contai'
    b'nerd.cgroups.v1b\x06proto3'
    # message Metrics
    b'"\xfc\x03\n\x07Metrics\x126\n\x07hugetlb\x18\x01 \x03(\x0b2%.io.conta'
    b'inerd.cgroups.v1.HugetlbStat\x120\n\x04pids\x18\x02 \x01'
    b'(\x0b2".io.containerd.cgroups.v1.PidsStat\x12.'
    b'\n\x03cpu\x18\x03 \x01(\x0b2!.io.containerd.cgroups.v1.C'
    b'PUStat\x124\n\x06memory\x18\x04 \x01(\x0b2$.io.containerd.c'
    b'groups.v1.MemoryStat\x122\n\x05blkio\x18\x05 \x01(\x0b2#.io'
    b'.containerd.cgroups.v1.BlkIOStat\x120\n\x04rdma'
    b'\x18\x06 \x01(\x0b2".io.containerd.cgroups.v1.RdmaSt'
    b'at\x126\n\x07network\x18\x07 \x03(\x0b2%.io.containerd.cgro'
    b'ups.v1.NetworkStat\x12;\n\x0ccgroup_stats\x18\x08 \x01(\x0b'
    b'2%.io.containerd.cgroups.v1.CgroupStats\x12'
    b'F\n\x12memory_oom_control\x18\t \x01(\x0b2*.io.contain'
    b'erd.cgroups.v1.MemoryOomControl'
    # message HugetlbStat
    b'"L\n\x0bHugetlbStat\x12\r\n\x05usage\x18\x01 \x01(\x04\x12\x0b\n\x03max\x18\x02 '
    b'\x01(\x04\x12\x0f\n\x07failcnt\x18\x03 \x01(\x04\x12\x10\n\x08pagesize\x18\x04 \x01(\t'
    # message PidsStat
    b'"*\n\x08PidsStat\x12\x0f\n\x07current\x18\x01 \x01(\x04\x12\r\n\x05limit\x18\x02'
    b' \x01(\x04'
    # message CPUStat
    b'"t\n\x07CPUStat\x121\n\x05usage\x18\x01 \x01(\x0b2".io.containe'
    b'rd.cgroups.v1.CPUUsage\x126\n\nthrottling\x18\x02 \x01'
    b'(\x0b2".io.containerd.cgroups.v1.Throttle'
    # message CPUUsage
    b'"H\n\x08CPUUsage\x12\r\n\x05total\x18\x01 \x01(\x04\x12\x0e\n\x06kernel\x18\x02 '
    b'\x01(\x04\x12\x0c\n\x04user\x18\x03 \x01(\x04\x12\x0f\n\x07per_cpu\x18\x04 \x03(\x04'
    # message Throttle
    b'"N\n\x08Throttle\x12\x0f\n\x07periods\x18\x01 \x01(\x04\x12\x19\n\x11throttl'
    b'ed_periods\x18\x02 \x01(\x04\x12\x16\n\x0ethrottled_time\x18\x03 \x01(\x04'
    # message MemoryStat
    b'"\xc5\x07\n\nMemoryStat\x12\r\n\x05cache\x18\x01 \x01(\x04\x12\x0b\n\x03rss\x18\x02 '
    b'\x01(\x04\x12\x10\n\x08rss_huge\x18\x03 \x01(\x04\x12\x13\n\x0bmapped_file\x18\x04 \x01'
    b'(\x04\x12\r\n\x05dirty\x18\x05 \x01(\x04\x12\x11\n\twriteback\x18\x06 \x01(\x04\x12\x10\n\x08'
    b'pg_pg_in\x18\x07 \x01(\x04\x12\x11\n\tpg_pg_out\x18\x08 \x01(\x04\x12\x10\n\x08pg_'
    b'fault\x18\t \x01(\x04\x12\x14\n\x0cpg_maj_fault\x18\n \x01(\x04\x12\x15\n\rina'
    b'ctive_anon\x18\x0b \x01(\x04\x12\x13\n\x0bactive_anon\x18\x0c \x01(\x04\x12\x15\n'
    b'\rinactive_file\x18\r \x01(\x04\x12\x13\n\x0bactive_file\x18\x0e \x01('
    b'\x04\x12\x13\n\x0bunevictable\x18\x0f \x01(\x04\x12!\n\x19hierarchical_m'
    b'emory_limit\x18\x10 \x01(\x04\x12\x1f\n\x17hierarchical_swap_l'
    b'imit\x18\x11 \x01(\x04\x12\x13\n\x0btotal_cache\x18\x12 \x01(\x04\x12\x11\n\ttotal'
    b'_rss\x18\x13 \x01(\x04\x12\x16\n\x0etotal_rss_huge\x18\x14 \x01(\x04\x12\x19\n\x11to'
    b'tal_mapped_file\x18\x15 \x01(\x04\x12\x13\n\x0btotal_dirty\x18\x16 \x01'
    b'(\x04\x12\x17\n\x0ftotal_writeback\x18\x17 \x01(\x04\x12\x16\n\x0etotal_pg_'
    b'pg_in\x18\x18 \x01(\x04\x12\x17\n\x0ftotal_pg_pg_out\x18\x19 \x01(\x04\x12\x16\n\x0e'
    b'total_pg_fault\x18\x1a \x01(\x04\x12\x1a\n\x12total_pg_maj_fau'
    b'lt\x18\x1b \x01(\x04\x12\x1b\n\x13total_inactive_anon\x18\x1c \x01(\x04\x12\x19\n'
    b'\x11total_active_anon\x18\x1d \x01(\x04\x12\x1b\n\x13total_inacti'
    b've_file\x18\x1e \x01(\x04\x12\x19\n\x11total_active_file\x18\x1f \x01(\x04'
    b'\x12\x19\n\x11total_unevictable\x18  \x01(\x04\x124\n\x05usage\x18! \x01'
    b'(\x0b2%.io.containerd.cgroups.v1.MemoryEntr'
    b'y\x123\n\x04swap\x18" \x01(\x0b2%.io.containerd.cgroups.'
    b'v1.MemoryEntry\x125\n\x06kernel\x18# \x01(\x0b2%.io.cont'
    b'ainerd.cgroups.v1.MemoryEntry\x129\n\nkernel_'
    b'tcp\x18$ \x01(\x0b2%.io.containerd.cgroups.v1.Mem'
    b'oryEntry'
    # message MemoryEntry
    b'"I\n\x0bMemoryEntry\x12\r\n\x05limit\x18\x01 \x01(\x04\x12\r\n\x05usage\x18'
    b'\x02 \x01(\x04\x12\x0b\n\x03max\x18\x03 \x01(\x04\x12\x0f\n\x07failcnt\x18\x04 \x01(\x04'
    # message MemoryOomControl
    b'"Q\n\x10MemoryOomControl\x12\x18\n\x10oom_kill_disable'
    b'\x18\x01 \x01(\x04\x12\x11\n\tunder_oom\x18\x02 \x01(\x04\x12\x10\n\x08oom_kill\x18\x03 '
    b'\x01(\x04'
    # message BlkIOStat
    b'"\xb1\x04\n\tBlkIOStat\x12H\n\x1aio_service_bytes_recur'
    b'sive\x18\x01 \x03(\x0b2$.io.containerd.cgroups.v1.Bl'
    b'kIOEntry\x12C\n\x15io_serviced_recursive\x18\x02 \x03(\x0b2'
    b'$.io.containerd.cgroups.v1.BlkIOEntry\x12A\n'
    b'\x13io_queued_recursive\x18\x03 \x03(\x0b2$.io.containe'
    b'rd.cgroups.v1.BlkIOEntry\x12G\n\x19io_service_t'
    b'ime_recursive\x18\x04 \x03(\x0b2$.io.containerd.cgro'
    b'ups.v1.BlkIOEntry\x12D\n\x16io_wait_time_recurs'
    b'ive\x18\x05 \x03(\x0b2$.io.containerd.cgroups.v1.Blk'
    b'IOEntry\x12A\n\x13io_merged_recursive\x18\x06 \x03(\x0b2$.i'
    b'o.containerd.cgroups.v1.BlkIOEntry\x12?\n\x11io'
    b'_time_recursive\x18\x07 \x03(\x0b2$.io.containerd.cg'
    b'roups.v1.BlkIOEntry\x12?\n\x11sectors_recursive'
    b'\x18\x08 \x03(\x0b2$.io.containerd.cgroups.v1.BlkIOE'
    b'ntry'
    # message BlkIOEntry
    b'"U\n\nBlkIOEntry\x12\n\n\x02op\x18\x01 \x01(\t\x12\x0e\n\x06device\x18\x02 \x01'
    b'(\t\x12\r\n\x05major\x18\x03 \x01(\x04\x12\r\n\x05minor\x18\x04 \x01(\x04\x12\r\n\x05valu'
    b'e\x18\x05 \x01(\x04'
    # message RdmaStat
    b'"t\n\x08RdmaStat\x124\n\x07current\x18\x01 \x03(\x0b2#.io.conta'
    b'inerd.cgroups.v1.RdmaEntry\x122\n\x05limit\x18\x02 \x03('
    b'\x0b2#.io.containerd.cgroups.v1.RdmaEntry'
    # message RdmaEntry
    b'"E\n\tRdmaEntry\x12\x0e\n\x06device\x18\x01 \x01(\t\x12\x13\n\x0bhca_han'
    b'dles\x18\x02 \x01(\r\x12\x13\n\x0bhca_objects\x18\x03 \x01(\r'
    # message NetworkStat
    b'"\xb5\x01\n\x0bNetworkStat\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x10\n\x08rx_byt'
    b'es\x18\x02 \x01(\x04\x12\x12\n\nrx_packets\x18\x03 \x01(\x04\x12\x11\n\trx_error'
    b's\x18\x04 \x01(\x04\x12\x12\n\nrx_dropped\x18\x05 \x01(\x04\x12\x10\n\x08tx_bytes\x18'
    b'\x06 \x01(\x04\x12\x12\n\ntx_packets\x18\x07 \x01(\x04\x12\x11\n\ttx_errors\x18\x08'
    b' \x01(\x04\x12\x12\n\ntx_dropped\x18\t \x01(\x04'
    # message CgroupStats
    b'"z\n\x0bCgroupStats\x12\x13\n\x0bnr_sleeping\x18\x01 \x01(\x04\x12\x12\n\n'
    b'nr_running\x18\x02 \x01(\x04\x12\x12\n\nnr_stopped\x18\x03 \x01(\x04\x12\x1a\n\x12'
    b'nr_uninterruptible\x18\x04 \x01(\x04\x12\x12\n\nnr_io_wait\x18\x05'
    b' \x01(\x04',
)
