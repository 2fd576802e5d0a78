# ns-3 as imported SYSTEM targets: ns3::core and so on. Debian's CMake and pkg-config files for it are broken, so headers
# and libraries are looked up by name; tried with ns-3 3.37.
find_path(NS3_INCLUDE_DIR ns3/simulator.h)
if(NOT NS3_INCLUDE_DIR)
  message(FATAL_ERROR "ns-3 is missing (Debian package libns3-dev); without it configure with -DPORTOLAN_SIM=OFF")
endif()
foreach(module core network internet traffic-control csma mobility point-to-point propagation wifi)
  find_library(NS3_${module}_LIBRARY NAMES ns3-${module} ns3.37-${module})
  if(NOT NS3_${module}_LIBRARY)
    message(FATAL_ERROR "ns-3's library ns3-${module} is missing (Debian package libns3-dev)")
  endif()
  if(NOT TARGET ns3::${module})
    add_library(ns3::${module} SHARED IMPORTED GLOBAL)
    set_target_properties(ns3::${module} PROPERTIES
      IMPORTED_LOCATION ${NS3_${module}_LIBRARY}
      INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${NS3_INCLUDE_DIR})
  endif()
endforeach()
