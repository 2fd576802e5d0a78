import ctypes as c, sys  # usage: example.py libportolan.so HOST:PORT
lib, u64 = c.CDLL(sys.argv[1]), c.c_uint64
Hear = c.CFUNCTYPE(None, c.c_void_p, c.c_char_p, u64, c.c_uint32, u64, c.POINTER(c.c_char), c.c_size_t)
hear = Hear(lambda _, topic, who, start, number, payload, size: print(topic.decode(), number, payload[:size].decode()))
lib.portolan_connect.restype, lib.portolan_connect.argtypes = c.c_void_p, (c.c_char_p, u64, c.c_char_p, Hear, c.c_void_p, c.c_void_p)
me = c.c_void_p(lib.portolan_connect(sys.argv[2].encode(), 1, b"plain", hear, None, None))
lib.portolan_subscribe(me, b"greeting/#", 0), lib.portolan_run(me, u64(300_000_000))
lib.portolan_publish(me, b"greeting/python", b"ahoy", c.c_size_t(4), 2)
lib.portolan_run(me, u64(300_000_000))
lib.portolan_close(me)
