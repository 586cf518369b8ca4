
BOOL scalarsBOOL
BOOL tensorsBOOL
UINT8 scalarsUINT8
UINT8 tensorsUINT8
UINT16 scalarsUINT16
UINT16 tensorsUINT16
UINT32 scalarsUINT32
UINT32 tensorsUINT32
UINT64 scalarsUINT64
UINT64 tensorsUINT64
INT8 scalarsINT8
INT8 tensorsINT8
INT16 scalarsINT16
INT16 tensorsINT16
INT32 scalarsINT32
INT32 tensorsINT32
INT64 scalarsINT64
INT64 tensorsINT64
FP16 scalarsFP16
FP16 tensorsFP16
FP32 scalarsFP32
FP32 tensorsFP32
FP64 scalarsFP64
FP64 tensorsFP64
UTF8 scalarsUTF8
UTF8 tensorsUTF8
BYTES scalarsBYTES
BYTES tensorsBYTES'
TIMESTAMP scalars	TIMESTAMPBnsJUTC*
TIMESTAMP tensors	TIMESTAMPBnsJUTC
DATE scalarsDATE
DATE tensorsDATE
MIXEDMIXED