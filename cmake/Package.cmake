# The Debian package of daemon, client and C library: `cpack -G DEB` in a build folder of which portolan-broker,
# portolan-client and portolan (the library) are built. Installing starts nothing; `systemctl enable --now portolan-broker` does.
include(GNUInstallDirs)
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY TRUE)
install(TARGETS portolan-broker portolan-client RUNTIME DESTINATION bin COMPONENT portolan)
install(TARGETS portolan LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT portolan)
install(FILES ${CMAKE_SOURCE_DIR}/broker/library/portolan.h DESTINATION include COMPONENT portolan)
install(FILES ${CMAKE_SOURCE_DIR}/broker/daemon/portolan-broker.service DESTINATION lib/systemd/system COMPONENT portolan)
install(FILES ${CMAKE_SOURCE_DIR}/broker/daemon/broker.yaml DESTINATION /etc/portolan COMPONENT portolan)
install(FILES ${CMAKE_SOURCE_DIR}/broker/daemon/CONFIG.md ${CMAKE_SOURCE_DIR}/broker/library/example.py
        ${CMAKE_SOURCE_DIR}/broker/daemon/watch/alerts.yaml ${CMAKE_SOURCE_DIR}/broker/daemon/watch/dashboard.json
        DESTINATION share/doc/portolan COMPONENT portolan)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME portolan)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "Portolan <portolan@example.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Message broker over UDP for harbours, with its client and C library")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL portolan)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_STRIP_FILES TRUE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# What an administrator changed stays through upgrades.
file(WRITE ${CMAKE_BINARY_DIR}/conffiles "/etc/portolan/broker.yaml\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_BINARY_DIR}/conffiles)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION TRUE)
include(CPack)
