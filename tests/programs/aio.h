/* Of linux/aio_abi.h, which not every C library has. */
#ifndef AIO_H
#define AIO_H
#include <stdint.h>

typedef unsigned long aio_context_t;

enum { IOCB_CMD_PREAD = 0, IOCB_CMD_PWRITE = 1 };

struct io_event {
    uint64_t data, obj;
    int64_t res, res2;
};

struct iocb {
    uint64_t aio_data;
    uint32_t aio_key, aio_rw_flags;
    uint16_t aio_lio_opcode;
    int16_t aio_reqprio;
    uint32_t aio_fildes;
    uint64_t aio_buf, aio_nbytes;
    int64_t aio_offset;
    uint64_t aio_reserved2;
    uint32_t aio_flags, aio_resfd;
};

#endif
